"""Pictures of results: masks drawn over their frames."""
