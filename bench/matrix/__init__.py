"""The network matrix: real browsers over an emulated link, in many conditions, beside another server."""
