"""Files that came over the API, and which collections they were put into. It knows neither HTTP nor Milvus."""
