"""The chapters in other forms, for a classroom: one module an edition."""
