"""The operators' console: a web page over a JSON API, for all detectors of the registry."""
