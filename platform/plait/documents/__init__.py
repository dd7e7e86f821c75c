"""What a document is: where it is stored, its format, its rows and tables, its text and its chunks. Knows no index."""
