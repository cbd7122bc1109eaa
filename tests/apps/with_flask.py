"""What Flask apps do."""
import os

from flask import Flask, Response, jsonify, redirect, request, send_file

application = Flask(__name__)
HERE = os.path.dirname(os.path.abspath(__file__))
route = application.route

route("/text", endpoint="text")(lambda: "plain")
route("/form", endpoint="form", methods=["POST"])(lambda: request.form["name"])
route("/json", endpoint="json", methods=["POST"])(lambda: jsonify(request.get_json()))
route("/file", endpoint="file")(lambda: send_file(os.path.join(HERE, "hello.py")))
route("/redirect", endpoint="redirect")(lambda: redirect("/text"))
route("/raises", endpoint="raises")(lambda: str(1 // 0))


@route("/upload", methods=["POST"])
def upload():
    return str(len(request.files["file"].read()))


@route("/streamed")
def streamed():
    return Response(f"{number} " for number in range(5))


@route("/cookies")
def cookies():
    response = Response("set")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response
