"""Opens a libsodium sealed box with PyNaCl.

    open_box.py KEY BOX      the secret key in hexadecimal, the box in base64; prints what was in it
"""

import base64
import sys

from nacl.public import PrivateKey, SealedBox

key = PrivateKey(bytes.fromhex(sys.argv[1]))
sys.stdout.buffer.write(SealedBox(key).decrypt(base64.b64decode(sys.argv[2])))
