"""Real work in packages whose extension modules refuse sub-interpreters, as of 2026."""
import io

import flask
import numpy
import pydantic
from cryptography.fernet import Fernet
from lxml import etree
from PIL import Image

app = flask.Flask(__name__)
KEY = Fernet.generate_key()


class Order(pydantic.BaseModel):
    count: int
    names: list[str]


@app.get("/numpy")
def of_numpy():
    return str(int(numpy.arange(1000).reshape(10, 100).dot(numpy.ones(100)).sum()))


@app.get("/pillow")
def of_pillow():
    file = io.BytesIO()
    Image.new("RGB", (32, 16), "red").resize((8, 4)).save(file, "PNG")
    return "%dx%d" % Image.open(file).size


@app.post("/rest")
def of_the_rest():
    order = Order.model_validate_json(flask.request.data)
    sealed = Fernet(KEY).encrypt(order.names[0].encode())
    tree = etree.fromstring("<a><b>%s</b></a>" % Fernet(KEY).decrypt(sealed).decode())
    return tree.xpath("string(/a/b)") * order.count
