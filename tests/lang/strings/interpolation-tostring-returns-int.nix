"${{ __toString = _: 1; }}"
