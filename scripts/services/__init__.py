"""Measured services beside their predictions: what scripts/services_page.py is made of."""
