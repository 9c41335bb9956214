"""Commands of the `antiphon` command line; `cli.py` puts them together."""
