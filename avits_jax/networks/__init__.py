"""Whole published networks that two models share."""
