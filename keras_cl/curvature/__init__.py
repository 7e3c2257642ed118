"""Curvature of the loss and the forgetting that it predicts: Hessian products, eigenvalues."""
