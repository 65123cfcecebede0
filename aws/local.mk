# aws/: what speaks to AWS and knows no task: SigV4, credentials, IMDS, JSON-1.1 calls, signed WebSockets
noinst_LIBRARIES += libaws.a
libaws_a_SOURCES = \
	aws/call.c aws/call.h \
	aws/credentials.c aws/credentials.h \
	aws/endpoint.c \
	aws/error.c \
	aws/http.c aws/http.h \
	aws/imds.c aws/imds.h \
	aws/keys.c \
	aws/s3.c aws/s3.h \
	aws/sigv4.c aws/sigv4.h \
	aws/upgrade.c \
	aws/ws.c aws/ws.h \
	aws/ws-frames.c aws/ws-private.h
AWS_LIBS = libaws.a $(COMMON_LIBS) $(CURL_LIBS) $(WSLAY_LIBS)
