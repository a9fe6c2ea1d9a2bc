"""The room domain, sans-IO: takes `(now, input)`, changes once, is drained for effects.

Never imports asyncio, protobuf, logging, time or the engine.
"""
