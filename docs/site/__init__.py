"""Parts of the site that are made when it is built: formulas, links, pages of the choices, the reference."""
