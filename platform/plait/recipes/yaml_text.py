"""YAML as users write it: UTF-8 or UTF-16 bytes, or text, become values, or one kind of error says why they do not.

It knows nothing of recipes.
"""

from typing import Any

import yaml


def parse_yaml(text: str | bytes, loader: Any = yaml.SafeLoader) -> Any:
    """The value of a YAML document.

    Raises:
        yaml.YAMLError: one line about whatever is wrong with it. PyYAML itself raises other errors for bytes of no
            encoding, a date that does not exist, a tag whose value is none of its kind, and a thousand levels of
            nesting.
    """
    try:
        return yaml.load(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        where = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise yaml.YAMLError(f"{', '.join(filter(None, (error.context, error.problem)))}{where}") from None
    except yaml.YAMLError as error:
        raise yaml.YAMLError(" ".join(str(error).split())) from None
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    except (ValueError, KeyError, AttributeError) as error:
        raise yaml.YAMLError(f"it holds an impossible value ({error})") from None
