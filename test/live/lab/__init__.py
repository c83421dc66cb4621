"""A closed internet on one machine, for tests of the relay against real mail software.

Everything lives in private namespaces (network, mounts, processes): the addresses
11.0.0.0/8 and 2a11::/32 are local there, /etc/passwd and /etc/resolv.conf are the
lab's own, and nothing survives the process that opened it.
"""
