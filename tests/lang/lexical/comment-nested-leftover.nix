/* outer /* inner */ 5 */
