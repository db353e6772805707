"""A Hugging Face hub and a ModelScope hub on loopback, for tests, demos and measurements.

The official clients of both hubs work against them unmodified. Start them with ``Lab`` in
:mod:`hubferry.lab.server`, or with ``python -m hubferry.lab``. Needs the extra ``lab``.
"""
