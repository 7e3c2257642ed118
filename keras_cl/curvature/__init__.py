"""Curvature of the loss and the forgetting that it predicts: Hessian-vector products, eigenvalues."""
