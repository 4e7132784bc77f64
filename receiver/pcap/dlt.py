"""Link types, as libpcap numbers them in memory (tcpdump.org, "Link-layer header types"; Linux's numbers).

Room: packets.
"""

DLT_NULL = 0
DLT_EN10MB = 1
DLT_PPP = 9
DLT_RAW = 12
DLT_RAW_OTHERS = (14, 101)  # the same in memory of another operating system, and in files
DLT_PPP_SERIAL = 50
DLT_PPP_ETHER = 51
DLT_C_HDLC = 104
DLT_IEEE802_11 = 105
DLT_FRELAY = 107
DLT_LOOP = 108
DLT_LINUX_SLL = 113
DLT_IEEE802_11_RADIO = 127
DLT_PPI = 192
DLT_IPNET = 226
DLT_IPV4 = 228
DLT_IPV6 = 229
DLT_NFLOG = 239
DLT_LINUX_SLL2 = 276
