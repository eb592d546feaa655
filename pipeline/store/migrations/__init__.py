"""How the tables came to be, step by step; `pipeline.store.migrate` runs what is missing."""
