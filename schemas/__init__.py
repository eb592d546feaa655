"""What is extracted: pydantic models of documents, the types of their fields, and the rules over a record."""
