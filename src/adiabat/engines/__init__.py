"""Thin walls to other programs' engines."""
