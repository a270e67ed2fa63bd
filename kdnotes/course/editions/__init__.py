"""The course in other forms: made from the chapters, for a classroom."""
