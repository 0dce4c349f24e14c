// Made by scripts/generate_maps.py; csrc/kernels/map.cpp explains the words. Constants are parameters.
MAP(506954e5fc) {  // sum (vv)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) const auto t0 = (x0 + x1); RESULT(0, t0) END
}
MAP(2b21411101) {  // sum (vs)
  SCALAR(x1, 2, T)
  EACH VECTOR(x0, 1, T) const auto t0 = (x0 + x1); RESULT(0, t0) END
}
MAP(2c0fe319fe) {  // difference (vv)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) const auto t0 = (x0 - x1); RESULT(0, t0) END
}
MAP(74b9f183bd) {  // difference (vs)
  SCALAR(x1, 2, T)
  EACH VECTOR(x0, 1, T) const auto t0 = (x0 - x1); RESULT(0, t0) END
}
MAP(ce426fa801) {  // product (vv)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) const auto t0 = (x0 * x1); RESULT(0, t0) END
}
MAP(1b113f10bc) {  // product (vs)
  SCALAR(x1, 2, T)
  EACH VECTOR(x0, 1, T) const auto t0 = (x0 * x1); RESULT(0, t0) END
}
MAP(16501a17a5) {  // quotient (vs)
  SCALAR(x1, 2, T)
  EACH VECTOR(x0, 1, T) const auto t0 = (x0 / x1); RESULT(0, t0) END
}
MAP(5b70ef9bd1) {  // scaled (v)
  CONSTANT(c0, 0)
  EACH VECTOR(x0, 1, T) const auto t0 = (x0 * c0); RESULT(0, t0) END
}
MAP(007426cada) {  // exponential (v)
  EACH VECTOR(x0, 1, T) const auto t0 = exp(x0); RESULT(0, t0) END
}
MAP(a92f05bb1b) {  // relu written out (v)
  CONSTANT(c0, 0) CONSTANT(c1, 1)
  EACH VECTOR(x0, 1, T) const auto t0 = (x0 > c0); const auto t1 = select(t0, x0, c1); RESULT(0, t1) END
}
MAP(555656153f) {  // relu of a sum (vv)
  CONSTANT(c0, 0)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) const auto t0 = (x0 + x1); const auto t1 = maximum(t0, c0); RESULT(0, t1) END
}
MAP(9651b52da6) {  // relu of a sum (vs)
  SCALAR(x1, 2, T) CONSTANT(c0, 0)
  EACH VECTOR(x0, 1, T) const auto t0 = (x0 + x1); const auto t1 = maximum(t0, c0); RESULT(0, t1) END
}
MAP(514a9909de) {  // logistic of a sum (vv)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) const auto t0 = (x0 + x1); const auto t1 = logistic(t0); RESULT(0, t1) END
}
MAP(526253b8cb) {  // logistic of a sum (vs)
  SCALAR(x1, 2, T)
  EACH VECTOR(x0, 1, T) const auto t0 = (x0 + x1); const auto t1 = logistic(t0); RESULT(0, t1) END
}
MAP(aceebbf913) {  // tanh of a sum (vv)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) const auto t0 = (x0 + x1); const auto t1 = tanh(t0); RESULT(0, t1) END
}
MAP(6c9dcebb52) {  // tanh of a sum (vs)
  SCALAR(x1, 2, T)
  EACH VECTOR(x0, 1, T) const auto t0 = (x0 + x1); const auto t1 = tanh(t0); RESULT(0, t1) END
}
MAP(70c70231bf) {  // square of a difference (vv)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) const auto t0 = (x0 - x1); const auto t1 = (t0 * t0); RESULT(0, t1) END
}
MAP(d2ce3ae019) {  // square of a difference (vs)
  SCALAR(x1, 2, T)
  EACH VECTOR(x0, 1, T) const auto t0 = (x0 - x1); const auto t1 = (t0 * t0); RESULT(0, t1) END
}
MAP(90eab13300) {  // standardised (vvv)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) VECTOR(x2, 3, T) const auto t0 = (x0 - x1); const auto t1 = (t0 * x2);
  RESULT(0, t1) END
}
MAP(8bc7c6062c) {  // standardised (vss)
  SCALAR(x1, 2, T) SCALAR(x2, 3, T)
  EACH VECTOR(x0, 1, T) const auto t0 = (x0 - x1); const auto t1 = (t0 * x2); RESULT(0, t1) END
}
MAP(494c620073) {  // normalised (vvvv)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) VECTOR(x2, 3, T) VECTOR(x3, 4, T) const auto t0 = (x0 - x1);
  const auto t1 = (t0 * x2); const auto t2 = (t1 + x3); RESULT(0, t2) END
}
MAP(1844315286) {  // normalised (vsss)
  SCALAR(x1, 2, T) SCALAR(x2, 3, T) SCALAR(x3, 4, T)
  EACH VECTOR(x0, 1, T) const auto t0 = (x0 - x1); const auto t1 = (t0 * x2); const auto t2 = (t1 + x3); RESULT(0, t2)
  END
}
MAP(3f94b3c2c7) {  // relu of the normalised (vvvv)
  CONSTANT(c0, 0)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) VECTOR(x2, 3, T) VECTOR(x3, 4, T) const auto t0 = (x0 - x1);
  const auto t1 = (t0 * x2); const auto t2 = (t1 + x3); const auto t3 = maximum(t2, c0); RESULT(0, t3) END
}
MAP(90d4405a1f) {  // relu of the normalised (vsss)
  SCALAR(x1, 2, T) SCALAR(x2, 3, T) SCALAR(x3, 4, T) CONSTANT(c0, 0)
  EACH VECTOR(x0, 1, T) const auto t0 = (x0 - x1); const auto t1 = (t0 * x2); const auto t2 = (t1 + x3);
  const auto t3 = maximum(t2, c0); RESULT(0, t3) END
}
MAP(d961a647a5) {  // normalised sum (vssss)
  SCALAR(x1, 2, T) SCALAR(x2, 3, T) SCALAR(x3, 4, T) SCALAR(x4, 5, T)
  EACH VECTOR(x0, 1, T) const auto t0 = (x0 + x1); const auto t1 = (t0 - x2); const auto t2 = (t1 * x3);
  const auto t3 = (t2 + x4); RESULT(0, t3) END
}
MAP(e9554e6828) {  // relu of the normalised sum (vssss)
  SCALAR(x1, 2, T) SCALAR(x2, 3, T) SCALAR(x3, 4, T) SCALAR(x4, 5, T) CONSTANT(c0, 0)
  EACH VECTOR(x0, 1, T) const auto t0 = (x0 + x1); const auto t1 = (t0 - x2); const auto t2 = (t1 * x3);
  const auto t3 = (t2 + x4); const auto t4 = maximum(t3, c0); RESULT(0, t4) END
}
MAP(0a0e480bc3) {  // gradient through batch normalisation (vvvvvvv)
  CONSTANT(c0, 0) CONSTANT(c1, 1)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) VECTOR(x2, 3, T) VECTOR(x3, 4, T) VECTOR(x4, 5, T) VECTOR(x5, 6, T)
  VECTOR(x6, 7, T) const auto t0 = (x2 * c0); const auto t1 = (x1 - t0); const auto t2 = (x3 - x4);
  const auto t3 = (t2 * x5); const auto t4 = (x6 * c1); const auto t5 = (t3 * t4); const auto t6 = (t1 - t5);
  const auto t7 = (x0 * t6); RESULT(0, t7) END
}
MAP(b07cea26ca) {  // gradient through batch normalisation (svsvsss)
  SCALAR(x0, 1, T) SCALAR(x2, 3, T) SCALAR(x4, 5, T) SCALAR(x5, 6, T) SCALAR(x6, 7, T) CONSTANT(c0, 0) CONSTANT(c1, 1)
  const auto f0 = (x2 * c0); const auto f4 = (x6 * c1);
  EACH VECTOR(x1, 2, T) VECTOR(x3, 4, T) const auto t1 = (x1 - f0); const auto t2 = (x3 - x4);
  const auto t3 = (t2 * x5); const auto t5 = (t3 * f4); const auto t6 = (t1 - t5); const auto t7 = (x0 * t6);
  RESULT(0, t7) END
}
MAP(e5628597ad) {  // relu of the normalised and a shortcut (vvvvv)
  CONSTANT(c0, 0)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) VECTOR(x2, 3, T) VECTOR(x3, 4, T) VECTOR(x4, 5, T) const auto t0 = (x1 - x2);
  const auto t1 = (t0 * x3); const auto t2 = (t1 + x4); const auto t3 = (x0 + t2); const auto t4 = maximum(t3, c0);
  RESULT(0, t4) END
}
MAP(5b3c737803) {  // relu of the normalised and a shortcut (vvsss)
  SCALAR(x2, 3, T) SCALAR(x3, 4, T) SCALAR(x4, 5, T) CONSTANT(c0, 0)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) const auto t0 = (x1 - x2); const auto t1 = (t0 * x3);
  const auto t2 = (t1 + x4); const auto t3 = (x0 + t2); const auto t4 = maximum(t3, c0); RESULT(0, t4) END
}
MAP(7da539c794) {  // gradient of relu, of two sources (vvv)
  CONSTANT(c0, 0) CONSTANT(c1, 1) CONSTANT(c2, 2)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) VECTOR(x2, 3, T) const auto t0 = (x0 + x1); const auto t1 = (x2 > c0);
  const auto t2 = select(t1, c1, c2); const auto t3 = (t0 * t2); RESULT(0, t3) END
}
MAP(a1126f5c40) {  // relu of two normalised (vsssvsss)
  SCALAR(x1, 2, T) SCALAR(x2, 3, T) SCALAR(x3, 4, T) SCALAR(x5, 6, T) SCALAR(x6, 7, T) SCALAR(x7, 8, T)
  CONSTANT(c0, 0)
  EACH VECTOR(x0, 1, T) VECTOR(x4, 5, T) const auto t0 = (x0 - x1); const auto t1 = (t0 * x2);
  const auto t2 = (t1 + x3); const auto t3 = (x4 - x5); const auto t4 = (t3 * x6); const auto t5 = (t4 + x7);
  const auto t6 = (t2 + t5); const auto t7 = maximum(t6, c0); RESULT(0, t7) END
}
MAP(d67218b832) {  // running average (vv)
  CONSTANT(c0, 0) CONSTANT(c1, 1)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) const auto t0 = (c0 * x0); const auto t1 = (c1 * x1);
  const auto t2 = (t0 + t1); RESULT(0, t2) END
}
MAP(e8eabc6696) {  // relu
  CONSTANT(c0, 0)
  EACH VECTOR(x0, 1, T) const auto t0 = maximum(x0, c0); RESULT(0, t0) END
}
MAP(b685205dbd) {  // gradient of relu
  CONSTANT(c0, 0) CONSTANT(c1, 1) CONSTANT(c2, 2)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) const auto t0 = (x1 > c0); const auto t1 = select(t0, c1, c2);
  const auto t2 = (x0 * t1); RESULT(0, t2) END
}
MAP(48fe70fa75) {  // leaky_relu
  CONSTANT(c0, 0) CONSTANT(c1, 1)
  EACH VECTOR(x0, 1, T) const auto t0 = (x0 > c0); const auto t1 = (c1 * x0); const auto t2 = select(t0, x0, t1);
  RESULT(0, t2) END
}
MAP(dec7761165) {  // gradient of leaky_relu
  CONSTANT(c0, 0) CONSTANT(c1, 1) CONSTANT(c2, 2) CONSTANT(c3, 3) CONSTANT(c4, 4) CONSTANT(c5, 5)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) const auto t0 = (x1 > c0); const auto t1 = select(t0, c1, c2);
  const auto t2 = select(t0, c3, c4); const auto t3 = (t2 * c5); const auto t4 = (t1 + t3); const auto t5 = (x0 * t4);
  RESULT(0, t5) END
}
MAP(0fecbd9f86) {  // elu
  CONSTANT(c0, 0) CONSTANT(c1, 1)
  EACH VECTOR(x0, 1, T) const auto t0 = (x0 > c0); const auto t1 = minimum(c1, x0); const auto t2 = expm1(t1);
  const auto t3 = select(t0, x0, t2); RESULT(0, t3) END
}
MAP(e0b4855876) {  // gradient of elu
  CONSTANT(c0, 0) CONSTANT(c1, 1) CONSTANT(c2, 2) CONSTANT(c3, 3) CONSTANT(c4, 4) CONSTANT(c5, 5) CONSTANT(c6, 6)
  CONSTANT(c7, 7)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) const auto t0 = (x1 > c0); const auto t1 = select(t0, c1, c2);
  const auto t2 = select(t0, c3, c4); const auto t3 = minimum(c5, x1); const auto t4 = exp(t3);
  const auto t5 = (t3 < x1); const auto t6 = select(t5, c6, c7); const auto t7 = (t4 * t6); const auto t8 = (t2 * t7);
  const auto t9 = (t1 + t8); const auto t10 = (x0 * t9); RESULT(0, t10) END
}
MAP(0766602f89) {  // selu
  CONSTANT(c0, 0) CONSTANT(c1, 1) CONSTANT(c2, 2) CONSTANT(c3, 3)
  EACH VECTOR(x0, 1, T) const auto t0 = (x0 > c1); const auto t1 = minimum(c3, x0); const auto t2 = expm1(t1);
  const auto t3 = (c2 * t2); const auto t4 = select(t0, x0, t3); const auto t5 = (c0 * t4); RESULT(0, t5) END
}
MAP(3acf40dce9) {  // gradient of selu
  CONSTANT(c0, 0) CONSTANT(c1, 1) CONSTANT(c2, 2) CONSTANT(c3, 3) CONSTANT(c4, 4) CONSTANT(c5, 5) CONSTANT(c6, 6)
  CONSTANT(c7, 7) CONSTANT(c8, 8) CONSTANT(c9, 9)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) const auto t0 = (x1 > c1); const auto t1 = select(t0, c2, c3);
  const auto t2 = select(t0, c4, c5); const auto t3 = minimum(c7, x1); const auto t4 = exp(t3);
  const auto t5 = (t3 < x1); const auto t6 = select(t5, c8, c9); const auto t7 = (t4 * t6); const auto t8 = (c6 * t7);
  const auto t9 = (t2 * t8); const auto t10 = (t1 + t9); const auto t11 = (c0 * t10); const auto t12 = (x0 * t11);
  RESULT(0, t12) END
}
MAP(4cb9d7867b) {  // gelu
  CONSTANT(c0, 0) CONSTANT(c1, 1) CONSTANT(c2, 2)
  EACH VECTOR(x0, 1, T) const auto t0 = (x0 * c2); const auto t1 = erf(t0); const auto t2 = (c1 + t1);
  const auto t3 = (c0 * t2); const auto t4 = (x0 * t3); RESULT(0, t4) END
}
MAP(c1827a77b0) {  // gradient of gelu
  CONSTANT(c0, 0) CONSTANT(c1, 1) CONSTANT(c2, 2) CONSTANT(c3, 3) CONSTANT(c4, 4) CONSTANT(c5, 5)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) const auto t0 = (x1 * c2); const auto t1 = erf(t0);
  const auto t2 = (c1 + t1); const auto t3 = (c0 * t2); const auto t4 = (-t0); const auto t5 = (t4 * t0);
  const auto t6 = exp(t5); const auto t7 = (c4 * t6); const auto t8 = (t7 * c5); const auto t9 = (c3 * t8);
  const auto t10 = (x1 * t9); const auto t11 = (t3 + t10); const auto t12 = (x0 * t11); RESULT(0, t12) END
}
MAP(658c195175) {  // gelu_tanh
  CONSTANT(c0, 0) CONSTANT(c1, 1) CONSTANT(c2, 2) CONSTANT(c3, 3)
  EACH VECTOR(x0, 1, T) const auto t0 = (x0 * x0); const auto t1 = (t0 * x0); const auto t2 = (c3 * t1);
  const auto t3 = (x0 + t2); const auto t4 = (c2 * t3); const auto t5 = tanh(t4); const auto t6 = (c1 + t5);
  const auto t7 = (c0 * t6); const auto t8 = (x0 * t7); RESULT(0, t8) END
}
MAP(1e028f876e) {  // gradient of gelu_tanh
  CONSTANT(c0, 0) CONSTANT(c1, 1) CONSTANT(c2, 2) CONSTANT(c3, 3) CONSTANT(c4, 4) CONSTANT(c5, 5) CONSTANT(c6, 6)
  CONSTANT(c7, 7) CONSTANT(c8, 8)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) const auto t0 = (x1 * x1); const auto t1 = (t0 * x1);
  const auto t2 = (c3 * t1); const auto t3 = (x1 + t2); const auto t4 = (c2 * t3); const auto t5 = tanh(t4);
  const auto t6 = (c1 + t5); const auto t7 = (c0 * t6); const auto t8 = (t5 * t5); const auto t9 = (c5 - t8);
  const auto t10 = (x1 + x1); const auto t11 = (x1 * t10); const auto t12 = (t11 + t0); const auto t13 = (c8 * t12);
  const auto t14 = (c7 + t13); const auto t15 = (c6 * t14); const auto t16 = (t9 * t15); const auto t17 = (c4 * t16);
  const auto t18 = (x1 * t17); const auto t19 = (t7 + t18); const auto t20 = (x0 * t19); RESULT(0, t20) END
}
MAP(b164f12a90) {  // swish
  EACH VECTOR(x0, 1, T) const auto t0 = logistic(x0); const auto t1 = (x0 * t0); RESULT(0, t1) END
}
MAP(758e0e67a2) {  // gradient of swish
  CONSTANT(c0, 0)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) const auto t0 = logistic(x1); const auto t1 = (c0 - t0);
  const auto t2 = (t0 * t1); const auto t3 = (x1 * t2); const auto t4 = (t0 + t3); const auto t5 = (x0 * t4);
  RESULT(0, t5) END
}
MAP(6522ffa410) {  // softplus
  CONSTANT(c0, 0)
  EACH VECTOR(x0, 1, T) const auto t0 = abs(x0); const auto t1 = (x0 + t0); const auto t2 = (c0 * t1);
  const auto t3 = (-t0); const auto t4 = exp(t3); const auto t5 = log1p(t4); const auto t6 = (t2 + t5); RESULT(0, t6)
  END
}
MAP(956f2556ec) {  // gradient of softplus
  CONSTANT(c0, 0) CONSTANT(c1, 1) CONSTANT(c2, 2) CONSTANT(c3, 3)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) const auto t0 = sign(x1); const auto t1 = (c1 + t0);
  const auto t2 = (c0 * t1); const auto t3 = abs(x1); const auto t4 = (-t3); const auto t5 = exp(t4);
  const auto t6 = (c3 + t5); const auto t7 = (c2 / t6); const auto t8 = (-t0); const auto t9 = (t5 * t8);
  const auto t10 = (t7 * t9); const auto t11 = (t2 + t10); const auto t12 = (x0 * t11); RESULT(0, t12) END
}
MAP(c53ab8fb02) {  // logistic
  EACH VECTOR(x0, 1, T) const auto t0 = logistic(x0); RESULT(0, t0) END
}
MAP(8614c70c14) {  // gradient of logistic
  CONSTANT(c0, 0)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) const auto t0 = (c0 - x1); const auto t1 = (x1 * t0);
  const auto t2 = (x0 * t1); RESULT(0, t2) END
}
MAP(c43540bbe1) {  // tanh
  EACH VECTOR(x0, 1, T) const auto t0 = tanh(x0); RESULT(0, t0) END
}
MAP(ff58a16d66) {  // gradient of tanh
  CONSTANT(c0, 0)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) const auto t0 = (x1 * x1); const auto t1 = (c0 - t0);
  const auto t2 = (x0 * t1); RESULT(0, t2) END
}
MAP(088139decb) {  // bytes, number
  EACH VECTOR(x0, 1, uint8_t) RESULT(0, x0) END
}
MAP(c57f45ce86) {  // bytes, scaled
  CONSTANT(c0, 0)
  EACH VECTOR(x0, 1, uint8_t) const auto t0 = (x0 * c0); RESULT(0, t0) END
}
MAP(73f9473279) {  // bytes, scaled and shifted
  CONSTANT(c0, 0) CONSTANT(c1, 1)
  EACH VECTOR(x0, 1, uint8_t) const auto t0 = (x0 * c0); const auto t1 = (t0 + c1); RESULT(0, t1) END
}
MAP(9f65d0c785) {  // bytes, shifted and scaled
  CONSTANT(c0, 0) CONSTANT(c1, 1)
  EACH VECTOR(x0, 1, uint8_t) const auto t0 = (x0 - c0); const auto t1 = (t0 * c1); RESULT(0, t1) END
}
MAP(27a873aa27) {  // Sgd
  CONSTANT(c0, 0)
  EACH VECTOR(x0, 1, T) VECTOR(x1, 2, T) const auto t0 = (c0 * x1); const auto t1 = (x0 - t0); RESULT(0, t1) END
}
MAP(955e696b96) {  // Sgd
  CONSTANT(c0, 0) CONSTANT(c1, 1)
  EACH VECTOR(x0, 2, T) VECTOR(x1, 3, T) VECTOR(x2, 4, T) const auto t0 = (c0 * x1); const auto t1 = (c1 * x2);
  const auto t2 = (t0 - t1); const auto t3 = (x0 + t2); RESULT(0, t3) RESULT(1, t2) END
}
MAP(92b834ad1f) {  // Sgd
  CONSTANT(c0, 0) CONSTANT(c1, 1) CONSTANT(c2, 2)
  EACH VECTOR(x0, 2, T) VECTOR(x1, 3, T) VECTOR(x2, 4, T) const auto t0 = (c1 * x1); const auto t1 = (c2 * x2);
  const auto t2 = (t0 - t1); const auto t3 = (c0 * t2); const auto t4 = (t3 - t1); const auto t5 = (x0 + t4);
  RESULT(0, t5) RESULT(1, t2) END
}
MAP(316afa769a) {  // Adam
  SCALAR(x3, 6, T) SCALAR(x5, 8, T) CONSTANT(c0, 0) CONSTANT(c1, 1) CONSTANT(c2, 2) CONSTANT(c3, 3) CONSTANT(c4, 4)
  CONSTANT(c5, 5)
  EACH VECTOR(x0, 3, T) VECTOR(x1, 4, T) VECTOR(x2, 5, T) VECTOR(x4, 7, T) const auto t0 = (c1 * x1);
  const auto t1 = (c2 * x2); const auto t2 = (t0 + t1); const auto t3 = (t2 * x3); const auto t4 = (c3 * x4);
  const auto t5 = (x2 * x2); const auto t6 = (c4 * t5); const auto t7 = (t4 + t6); const auto t8 = (t7 * x5);
  const auto t9 = sqrt(t8); const auto t10 = (t9 + c5); const auto t11 = (t3 / t10); const auto t12 = (c0 * t11);
  const auto t13 = (x0 - t12); RESULT(0, t13) RESULT(1, t2) RESULT(2, t7) END
}
MAP(bc5ca3004a) {  // AdamW
  SCALAR(x3, 6, T) SCALAR(x5, 8, T) CONSTANT(c0, 0) CONSTANT(c1, 1) CONSTANT(c2, 2) CONSTANT(c3, 3) CONSTANT(c4, 4)
  CONSTANT(c5, 5) CONSTANT(c6, 6)
  EACH VECTOR(x0, 3, T) VECTOR(x1, 4, T) VECTOR(x2, 5, T) VECTOR(x4, 7, T) const auto t0 = (c1 * x1);
  const auto t1 = (c2 * x2); const auto t2 = (t0 + t1); const auto t3 = (t2 * x3); const auto t4 = (c3 * x4);
  const auto t5 = (x2 * x2); const auto t6 = (c4 * t5); const auto t7 = (t4 + t6); const auto t8 = (t7 * x5);
  const auto t9 = sqrt(t8); const auto t10 = (t9 + c5); const auto t11 = (t3 / t10); const auto t12 = (c6 * x0);
  const auto t13 = (t11 + t12); const auto t14 = (c0 * t13); const auto t15 = (x0 - t14); RESULT(0, t15) RESULT(1, t2)
  RESULT(2, t7) END
}
MAP(397e4a5533) {  // Nadam
  SCALAR(x3, 6, T) SCALAR(x4, 7, T) SCALAR(x6, 9, T) CONSTANT(c0, 0) CONSTANT(c1, 1) CONSTANT(c2, 2) CONSTANT(c3, 3)
  CONSTANT(c4, 4) CONSTANT(c5, 5)
  EACH VECTOR(x0, 3, T) VECTOR(x1, 4, T) VECTOR(x2, 5, T) VECTOR(x5, 8, T) const auto t0 = (c1 * x1);
  const auto t1 = (c2 * x2); const auto t2 = (t0 + t1); const auto t3 = (t2 * x3); const auto t4 = (x2 * x4);
  const auto t5 = (t3 + t4); const auto t6 = (c3 * x5); const auto t7 = (x2 * x2); const auto t8 = (c4 * t7);
  const auto t9 = (t6 + t8); const auto t10 = (t9 * x6); const auto t11 = sqrt(t10); const auto t12 = (t11 + c5);
  const auto t13 = (t5 / t12); const auto t14 = (c0 * t13); const auto t15 = (x0 - t14); RESULT(0, t15) RESULT(1, t2)
  RESULT(2, t9) END
}
MAP(fffad43852) {  // AmsGrad
  SCALAR(x3, 7, T) SCALAR(x6, 10, T) CONSTANT(c0, 0) CONSTANT(c1, 1) CONSTANT(c2, 2) CONSTANT(c3, 3) CONSTANT(c4, 4)
  CONSTANT(c5, 5)
  EACH VECTOR(x0, 4, T) VECTOR(x1, 5, T) VECTOR(x2, 6, T) VECTOR(x4, 8, T) VECTOR(x5, 9, T) const auto t0 = (c1 * x1);
  const auto t1 = (c2 * x2); const auto t2 = (t0 + t1); const auto t3 = (t2 * x3); const auto t4 = (c3 * x5);
  const auto t5 = (x2 * x2); const auto t6 = (c4 * t5); const auto t7 = (t4 + t6); const auto t8 = maximum(x4, t7);
  const auto t9 = (t8 * x6); const auto t10 = sqrt(t9); const auto t11 = (t10 + c5); const auto t12 = (t3 / t11);
  const auto t13 = (c0 * t12); const auto t14 = (x0 - t13); RESULT(0, t14) RESULT(1, t2) RESULT(2, t7) RESULT(3, t8)
  END
}
MAP(b21acd1cad) {  // RmsProp
  CONSTANT(c0, 0) CONSTANT(c1, 1) CONSTANT(c2, 2) CONSTANT(c3, 3)
  EACH VECTOR(x0, 2, T) VECTOR(x1, 3, T) VECTOR(x2, 4, T) const auto t0 = (c1 * x2); const auto t1 = (x1 * x1);
  const auto t2 = (c2 * t1); const auto t3 = (t0 + t2); const auto t4 = (t3 + c3); const auto t5 = sqrt(t4);
  const auto t6 = (x1 / t5); const auto t7 = (c0 * t6); const auto t8 = (x0 - t7); RESULT(0, t8) RESULT(1, t3) END
}
MAP(86d53a6389) {  // RmsProp
  CONSTANT(c0, 0) CONSTANT(c1, 1) CONSTANT(c2, 2) CONSTANT(c3, 3) CONSTANT(c4, 4)
  EACH VECTOR(x0, 3, T) VECTOR(x1, 4, T) VECTOR(x2, 5, T) VECTOR(x3, 6, T) const auto t0 = (c0 * x1);
  const auto t1 = (c2 * x3); const auto t2 = (x2 * x2); const auto t3 = (c3 * t2); const auto t4 = (t1 + t3);
  const auto t5 = (t4 + c4); const auto t6 = sqrt(t5); const auto t7 = (x2 / t6); const auto t8 = (c1 * t7);
  const auto t9 = (t0 - t8); const auto t10 = (x0 + t9); RESULT(0, t10) RESULT(1, t4) RESULT(2, t9) END
}
MAP(76d37b0107) {  // Adagrad
  CONSTANT(c0, 0) CONSTANT(c1, 1)
  EACH VECTOR(x0, 2, T) VECTOR(x1, 3, T) VECTOR(x2, 4, T) const auto t0 = (x1 * x1); const auto t1 = (x2 + t0);
  const auto t2 = sqrt(t1); const auto t3 = (t2 + c1); const auto t4 = (x1 / t3); const auto t5 = (c0 * t4);
  const auto t6 = (x0 - t5); RESULT(0, t6) RESULT(1, t1) END
}
MAP(e11e91482d) {  // Adadelta
  CONSTANT(c0, 0) CONSTANT(c1, 1) CONSTANT(c2, 2) CONSTANT(c3, 3) CONSTANT(c4, 4) CONSTANT(c5, 5)
  EACH VECTOR(x0, 3, T) VECTOR(x1, 4, T) VECTOR(x2, 5, T) VECTOR(x3, 6, T) const auto t0 = (x1 + c0);
  const auto t1 = sqrt(t0); const auto t2 = (c1 * x2); const auto t3 = (x3 * x3); const auto t4 = (c2 * t3);
  const auto t5 = (t2 + t4); const auto t6 = (t5 + c3); const auto t7 = sqrt(t6); const auto t8 = (t1 / t7);
  const auto t9 = (t8 * x3); const auto t10 = (x0 - t9); const auto t11 = (c4 * x1); const auto t12 = (-t9);
  const auto t13 = (t12 * t12); const auto t14 = (c5 * t13); const auto t15 = (t11 + t14); RESULT(0, t10)
  RESULT(1, t5) RESULT(2, t15) END
}
MAP(af134d7368) {  // Lion
  CONSTANT(c0, 0) CONSTANT(c1, 1) CONSTANT(c2, 2) CONSTANT(c3, 3) CONSTANT(c4, 4)
  EACH VECTOR(x0, 2, T) VECTOR(x1, 3, T) VECTOR(x2, 4, T) const auto t0 = (c1 * x1); const auto t1 = (c2 * x2);
  const auto t2 = (t0 + t1); const auto t3 = sign(t2); const auto t4 = (c0 * t3); const auto t5 = (x0 - t4);
  const auto t6 = (c3 * x1); const auto t7 = (c4 * x2); const auto t8 = (t6 + t7); RESULT(0, t5) RESULT(1, t8) END
}
MAP(fb6540238b) {  // Sgd, a schedule
  SCALAR(x1, 2, T)
  EACH VECTOR(x0, 1, T) VECTOR(x2, 3, T) const auto t0 = (x1 * x2); const auto t1 = (x0 - t0); RESULT(0, t1) END
}
MAP(9fa0af1624) {  // Adam, a schedule
  SCALAR(x1, 4, T) SCALAR(x4, 7, T) SCALAR(x6, 9, T) CONSTANT(c0, 0) CONSTANT(c1, 1) CONSTANT(c2, 2) CONSTANT(c3, 3)
  CONSTANT(c4, 4)
  EACH VECTOR(x0, 3, T) VECTOR(x2, 5, T) VECTOR(x3, 6, T) VECTOR(x5, 8, T) const auto t0 = (c0 * x2);
  const auto t1 = (c1 * x3); const auto t2 = (t0 + t1); const auto t3 = (t2 * x4); const auto t4 = (c2 * x5);
  const auto t5 = (x3 * x3); const auto t6 = (c3 * t5); const auto t7 = (t4 + t6); const auto t8 = (t7 * x6);
  const auto t9 = sqrt(t8); const auto t10 = (t9 + c4); const auto t11 = (t3 / t10); const auto t12 = (x1 * t11);
  const auto t13 = (x0 - t12); RESULT(0, t13) RESULT(1, t2) RESULT(2, t7) END
}
MAP(7263f2c572) {  // AdamW, a schedule
  SCALAR(x1, 4, T) SCALAR(x4, 7, T) SCALAR(x6, 9, T) CONSTANT(c0, 0) CONSTANT(c1, 1) CONSTANT(c2, 2) CONSTANT(c3, 3)
  CONSTANT(c4, 4) CONSTANT(c5, 5)
  EACH VECTOR(x0, 3, T) VECTOR(x2, 5, T) VECTOR(x3, 6, T) VECTOR(x5, 8, T) const auto t0 = (c0 * x2);
  const auto t1 = (c1 * x3); const auto t2 = (t0 + t1); const auto t3 = (t2 * x4); const auto t4 = (c2 * x5);
  const auto t5 = (x3 * x3); const auto t6 = (c3 * t5); const auto t7 = (t4 + t6); const auto t8 = (t7 * x6);
  const auto t9 = sqrt(t8); const auto t10 = (t9 + c4); const auto t11 = (t3 / t10); const auto t12 = (c5 * x0);
  const auto t13 = (t11 + t12); const auto t14 = (x1 * t13); const auto t15 = (x0 - t14); RESULT(0, t15) RESULT(1, t2)
  RESULT(2, t7) END
}
#define MAPS(DO) \
  DO(506954e5fc, 1, 3) DO(2b21411101, 1, 3) DO(2c0fe319fe, 1, 3) DO(74b9f183bd, 1, 3) DO(ce426fa801, 1, 3) \
  DO(1b113f10bc, 1, 3) DO(16501a17a5, 1, 3) DO(5b70ef9bd1, 1, 2) DO(007426cada, 1, 2) DO(a92f05bb1b, 1, 2) \
  DO(555656153f, 1, 3) DO(9651b52da6, 1, 3) DO(514a9909de, 1, 3) DO(526253b8cb, 1, 3) DO(aceebbf913, 1, 3) \
  DO(6c9dcebb52, 1, 3) DO(70c70231bf, 1, 3) DO(d2ce3ae019, 1, 3) DO(90eab13300, 1, 4) DO(8bc7c6062c, 1, 4) \
  DO(494c620073, 1, 5) DO(1844315286, 1, 5) DO(3f94b3c2c7, 1, 5) DO(90d4405a1f, 1, 5) DO(d961a647a5, 1, 6) \
  DO(e9554e6828, 1, 6) DO(0a0e480bc3, 1, 8) DO(b07cea26ca, 1, 8) DO(e5628597ad, 1, 6) DO(5b3c737803, 1, 6) \
  DO(7da539c794, 1, 4) DO(a1126f5c40, 1, 9) DO(d67218b832, 1, 3) DO(e8eabc6696, 1, 2) DO(b685205dbd, 1, 3) \
  DO(48fe70fa75, 1, 2) DO(dec7761165, 1, 3) DO(0fecbd9f86, 1, 2) DO(e0b4855876, 1, 3) DO(0766602f89, 1, 2) \
  DO(3acf40dce9, 1, 3) DO(4cb9d7867b, 1, 2) DO(c1827a77b0, 1, 3) DO(658c195175, 1, 2) DO(1e028f876e, 1, 3) \
  DO(b164f12a90, 1, 2) DO(758e0e67a2, 1, 3) DO(6522ffa410, 1, 2) DO(956f2556ec, 1, 3) DO(c53ab8fb02, 1, 2) \
  DO(8614c70c14, 1, 3) DO(c43540bbe1, 1, 2) DO(ff58a16d66, 1, 3) DO(088139decb, 1, 2) DO(c57f45ce86, 1, 2) \
  DO(73f9473279, 1, 2) DO(9f65d0c785, 1, 2) DO(27a873aa27, 1, 3) DO(955e696b96, 2, 5) DO(92b834ad1f, 2, 5) \
  DO(316afa769a, 3, 9) DO(bc5ca3004a, 3, 9) DO(397e4a5533, 3, 10) DO(fffad43852, 4, 11) DO(b21acd1cad, 2, 5) \
  DO(86d53a6389, 3, 7) DO(76d37b0107, 2, 5) DO(e11e91482d, 3, 7) DO(af134d7368, 2, 5) DO(fb6540238b, 1, 4) \
  DO(9fa0af1624, 3, 10) DO(7263f2c572, 3, 10)
