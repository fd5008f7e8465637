"""Abdolrashidi, Minaei, Azimi and Minaee (2020): attention and residual networks, averaged."""
