"""`sfu serve`: a server for remote clients, from the command line. What it offers is made in `stack`, how it ends in
`run`; figures for operators are in `metrics`, behind the HTTP of `status`."""
