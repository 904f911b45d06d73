"""A predictor behind HTTP: recordings in, emotions out, many at once; and a page for people."""
