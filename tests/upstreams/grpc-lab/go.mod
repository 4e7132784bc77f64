module lab

go 1.25

require google.golang.org/grpc v1.83.0
