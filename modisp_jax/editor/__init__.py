"""The photo editor without its web page: settings, the photos that are open, staged rendering, exports."""
