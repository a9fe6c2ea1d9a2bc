"""Tokens, grants and API keys. Imports nothing of ours."""
