"""Serves each app of this folder: /NAME/... calls NAME.py; other paths are described."""
import importlib
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
NAMES = {name[:-3] for name in os.listdir(HERE) if name.endswith(".py")}


def application(environ, start_response):
    name = environ["PATH_INFO"].split("/")[1] if "/" in environ["PATH_INFO"] else ""
    if name not in NAMES:
        name = "describe"
    return importlib.import_module(name).application(environ, start_response)
