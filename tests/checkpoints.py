# SPDX-License-Identifier: MIT
"""Model files made of others for the tests of `create`: GGUF files of floats, read and written by the reference library."""
import gguf
import numpy as np

FLOATS = {"F32": (np.float32, gguf.LlamaFileType.ALL_F32), "F16": (np.float16, gguf.LlamaFileType.MOSTLY_F16)}


def read(path):
    return gguf.GGUFReader(str(path))


def floats(tensor):
    """The values of a tensor, rows first."""
    return gguf.dequantize(tensor.data, tensor.tensor_type).reshape([int(n) for n in reversed(tensor.shape)])


def value(reader, key, default=None):
    field = reader.get_field(key)
    return default if field is None else field.contents()


def copy_values(reader, writer, skip):
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key in skip:
            continue
        kind = field.types[0]
        part = field.types[1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(key, field.contents(), kind, part)


def melt(source, target, kind="F16"):
    """The GGUF file again with its matrices as floats."""
    reader = read(source)
    dtype, file_type = FLOATS[kind]
    writer = gguf.GGUFWriter(str(target), value(reader, "general.architecture"))
    copy_values(reader, writer, ("general.architecture", "general.file_type"))
    writer.add_file_type(int(file_type))
    for tensor in reader.tensors:
        data = floats(tensor)
        writer.add_tensor(tensor.name, data.astype(dtype if data.ndim > 1 else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target
