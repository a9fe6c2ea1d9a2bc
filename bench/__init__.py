"""Speed: drives the load client against a server and compares its CPU time with the machine's own yardsticks.

Run by `make bench`. Never part of the server.
"""
