"""Work that is done for many at once, and apart where one of them makes it fail."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def together_or_apart(
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], Sequence[Result]],
    on_failure: Callable[[int, Exception], None],
) -> list[Result | Exception]:
    """What `work` gives for each item; where it raises, the items are halved until those at fault stand alone.

    An item that fails alone gets its error. One at fault among n costs about 2 log2(n) more calls; when all fail, which
    no item is then to blame for, it is 2 n - 2. `work` may run for an item again as long as it raises.

    Args:
        on_failure: told of each failure of several items: how many there were, and the error.

    >>> together_or_apart([1, 2, 0, 4], lambda some: [4 // i for i in some], lambda count, error: None)
    [4, 2, ZeroDivisionError('integer division or modulo by zero'), 1]
    """
    try:
        return list(work(items))
    except Exception as error:
        if len(items) == 1:
            return [error]
        on_failure(len(items), error)
    half = len(items) // 2
    return [
        *together_or_apart(items[:half], work, on_failure),
        *together_or_apart(items[half:], work, on_failure),
    ]
