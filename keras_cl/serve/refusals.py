"""What TensorFlow Serving says where a request asks Classify or Regress of a signature of another kind."""

from keras_cl.serve.errors import ServingError


def refuse_classification(signature):
    """Raises the error of Classify for a `SignatureDef` (PreProcessClassification in classifier.cc)."""
    if len(signature.inputs) != 1:
        raise ServingError("INVALID_ARGUMENT", "Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        message = f"Expected one or two output Tensors, found {len(signature.outputs)}"
        raise ServingError("INVALID_ARGUMENT", message)
    if "inputs" not in signature.inputs:
        message = f"No classification inputs found in SignatureDef: {signature}"
        raise ServingError("INVALID_ARGUMENT", message)
    if not {"classes", "scores"} & set(signature.outputs):
        raise ServingError(
            "INVALID_ARGUMENT",
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            f"Signature was: {signature}",
        )
    raise ServingError("UNIMPLEMENTED", "This server answers Predict alone")


def refuse_regression(signature):
    """Raises the error of Regress for a `SignatureDef` (PreProcessRegression in regressor.cc)."""
    if len(signature.inputs) != 1:
        raise ServingError("INVALID_ARGUMENT", "Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise ServingError("INVALID_ARGUMENT", "Expected one output Tensor.")
    for what, found in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        if what not in found:
            message = f"No regression {what} found in SignatureDef: {signature}"
            raise ServingError("INVALID_ARGUMENT", message)
    raise ServingError("UNIMPLEMENTED", "This server answers Predict alone")
