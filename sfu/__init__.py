"""The SFU: room domain, its asyncio shell and the packet engine."""
