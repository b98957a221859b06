"""Findings as people and programs read them: tables, JSON, SARIF, CSV, Markdown, one HTML page."""
