"""Reads where nothing is mapped."""
import ctypes


def application(environ, start_response):
    return [ctypes.string_at(0)]
