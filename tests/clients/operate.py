"""A client that shares no code with ours: stubs made from the `.proto` files by others' compiler, on others' gRPC.

    operate.py PROTOS ADDRESS

Each line of its input is a call, `{"service": "Tree", "method": "GetNode", "fields": {...}}`, with `"take": N` where only the first
answers of a stream are wanted. Each line of its output is what it was told: the answers as a list, or the refusal with its code and
the reason of its ErrorInfo.
"""

import importlib
import json
import pathlib
import sys
import tempfile

import grpc
from google.protobuf import json_format
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from grpc_tools import protoc

PACKAGE = "runtime/admin/v1"
DEADLINE_SECS = 60


def compile_stubs(protos, into):
    """Makes Python modules of every file of the API, and puts them on the path."""
    files = sorted(str(path) for path in pathlib.Path(protos, PACKAGE).glob("*.proto"))
    well_known = pathlib.Path(protoc.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{protos}", f"-I{well_known}", f"--python_out={into}", f"--grpc_python_out={into}"]
    if protoc.main(arguments + files) != 0:
        sys.exit("the .proto files do not compile")
    sys.path.insert(0, into)


def call(channel, service, method, fields):
    """The answer, or answers as they come."""
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in service).lstrip("_")
    module = f"{PACKAGE.replace('/', '.')}.{words}_service"
    messages = importlib.import_module(f"{module}_pb2")
    stub = getattr(importlib.import_module(f"{module}_pb2_grpc"), f"{service}ServiceStub")(channel)
    request = json_format.ParseDict(fields, getattr(messages, f"{method}Request")())
    return getattr(stub, method)(request, timeout=DEADLINE_SECS)


def answers(channel, service, method, fields, take=None):
    answer = call(channel, service, method, fields)
    if not hasattr(answer, "cancel"):
        return [shown(answer)]
    told = []
    for one in answer:
        told.append(shown(one))
        if len(told) == take:
            answer.cancel()
            break
    return told


def shown(message):
    return json_format.MessageToDict(message)


def refused(error):
    details = rpc_status.from_call(error)
    for detail in details.details if details else []:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return {"refused": error.code().name, "reason": info.reason}
    return {"refused": error.code().name, "reason": None}


def main():
    protos, address = sys.argv[1:]
    with tempfile.TemporaryDirectory() as stubs, grpc.insecure_channel(address) as channel:
        compile_stubs(protos, stubs)
        for line in sys.stdin:
            try:
                told = {"answers": answers(channel, **json.loads(line))}
            except grpc.RpcError as error:
                told = refused(error)
            print(json.dumps(told), flush=True)


main()
