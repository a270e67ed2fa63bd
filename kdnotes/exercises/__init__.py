"""References, cases and named traps of the chapters' exercises, one module a chapter."""
