"""What a key may do. Beside api_keys.py, because the command line names it and must not load much."""

from enum import StrEnum


class Scope(StrEnum):
    """`infer`: ask; `documents`: upload files, make collections and search them; `jobs`: fine-tune models and order
    batches; `admin`: all of it, and load adapters."""

    INFER = "infer"
    DOCUMENTS = "documents"
    JOBS = "jobs"
    ADMIN = "admin"
