"""What chapters draw, one module a chapter: the numbers come from the chapter, the drawing is here."""
