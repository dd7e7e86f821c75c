"""`python -m plait.jobs.evaluate DATA MODELS…`: the same as `plait evaluate`, for `ray job submit`."""

import sys

from plait.cli import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
