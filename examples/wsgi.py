#!/usr/bin/python3

from flask_app import app as application

if __name__ == "__main__":
    application.run()
