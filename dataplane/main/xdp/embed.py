"""Writes the bytes of a file as a C array: embed.py NAME FILE > NAME.h"""
import sys

name, path = sys.argv[1:3]
with open(path, 'rb') as file:
    content = file.read()
print('#include <stdint.h>')
print(f'static const uint8_t {name}[] __attribute__((aligned(8))) = {{')
for at in range(0, len(content), 16):
    print('\t' + ' '.join(f'{byte},' for byte in content[at:at + 16]))
print('};')
