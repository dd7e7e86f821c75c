"""An evaluation as one HTML page that needs nothing else: figures, the judge, differences, and the worst samples."""
