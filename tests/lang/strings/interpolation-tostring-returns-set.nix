"${{ __toString = _: { __toString = _: "inner"; }; }}"
