"""Trained models at work: any audio in, emotions out."""
