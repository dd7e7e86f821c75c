"""Making questions of documents, as a job."""
