"""Configuration: the table of all options, the files that set them, and the values that come of it.

    settings = read_settings(os.environ)
    settings.number("max-jobs"), settings.words("substituters"), settings.places("cores")

What it may import: the errors and the standard library, and little of that, since every command starts with it.

What it does not do: it knows what an option is and what it is set to; what that means is the business of whoever asks.
"""

from nivalis._lazy import from_modules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nivalis.settings.errors import ConfigurationError, SettingError
    from nivalis.settings.settings import Settings, read_settings

__all__ = ["ConfigurationError", "SettingError", "Settings", "read_settings"]

# The evaluation cache needs the files alone, and must not load the table.
__getattr__ = from_modules(__name__, {"ConfigurationError": "errors", "SettingError": "errors", "Settings": "settings", "read_settings": "settings"})
