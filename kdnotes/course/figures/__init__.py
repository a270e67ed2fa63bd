"""What chapters draw, one module a chapter: numbers come from the chapter, drawing is here."""
